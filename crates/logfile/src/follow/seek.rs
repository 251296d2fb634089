//! Which file of a log to go on in.

use super::place::{Outcome, Place};
use super::walk::{Found, Walk};
use crate::error::Error;

/// A place to go to, and what was missed on the way.
pub(super) type Step = (Place, Outcome);

/// Where to begin for a logical offset: the file that has it, else the next newer one that is left, else the oldest.
/// None when there is no file.
pub(super) fn offset(walk: &mut Walk<'_>, offset: u64) -> Result<Option<Step>, Error> {
    let mut wanted = Some(offset);
    let mut labelled = false;
    let mut newer: Option<Found> = None;
    while let Some(found) = walk.next()? {
        if let (Some(offset), Some(from), Some(end)) = (wanted, found.from(), found.end()) {
            if from <= offset && offset <= end {
                return Ok(Some(Place::from_offset(found, wanted)));
            }
            match newer {
                Some(newer) if labelled && end < offset => return Ok(Some(Place::from_offset(newer, wanted))),
                // Not even the newest file goes that far: the offset is of a log that was here before.
                _ if end < offset => wanted = None,
                _ => labelled = true,
            }
        }
        newer = Some(found);
    }
    Ok(newer.map(|oldest| Place::from_offset(oldest, wanted)))
}

/// Where to go on after the end of a file that is not the live one: in the next newer file. None when there is none, or
/// when nothing says yet whether it is.
pub(super) fn after(walk: &mut Walk<'_>, place: &Place) -> Result<Option<Step>, Error> {
    match place.offset {
        Some(offset) => after_offset(walk, place, offset),
        None => after_file(walk, place),
    }
}

fn after_offset(walk: &mut Walk<'_>, place: &Place, offset: u64) -> Result<Option<Step>, Error> {
    let mut newer: Option<Found> = None;
    // The last one before that which has a mark.
    let mut labelled: Option<Found> = None;
    while let Some(found) = walk.next()? {
        if found.identity == place.identity {
            // A live file without a mark is not the log's until its writer has given it one.
            let next = newer.filter(|next| next.is_labelled() || !next.is_live);
            return Ok(next.map(|next| place.adjacent(next)));
        }
        if let (Some(from), Some(end)) = (found.from(), found.end())
            && from <= offset
        {
            // It has the next byte; or it is the live one, and will have it. If that does not even go that far, the log
            // was begun anew.
            let here = offset < end || found.is_live;
            let next = if here { Some(found) } else { newer.filter(Found::is_labelled).or(labelled) };
            return Ok(next.map(|next| place.next(next)));
        }
        if let Some(passed) = newer.replace(found).filter(Found::is_labelled) {
            labelled = Some(passed);
        }
    }
    Ok(newer.filter(Found::is_labelled).or(labelled).map(|oldest| place.next(oldest)))
}

/// Without logical offsets only the order of the files says which is next, as long as the one that was left is there.
fn after_file(walk: &mut Walk<'_>, place: &Place) -> Result<Option<Step>, Error> {
    let mut newest: Option<Found> = None;
    let mut newer: Option<Found> = None;
    while let Some(found) = walk.next()? {
        if found.identity == place.identity {
            return Ok(newer.or(newest).map(|next| place.adjacent(next)));
        }
        if newest.is_none() { newest = Some(found) } else { newer = Some(found) }
    }
    // Removed, most likely by retention: all that is left is newer. Or renamed, and then only the live file is.
    let next = if place.is_unlinked() { newer.or(newest) } else { newest.filter(|newest| newest.is_live) };
    Ok(next.map(|next| place.next(next)))
}
