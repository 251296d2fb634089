//! Which file of a log to go on in.

use super::place::{Outcome, Place};
use super::walk::{Found, Walk};
use crate::error::Error;

/// Where to begin for a logical offset: the file that has it, else the next newer one that is left, else the oldest.
/// None when there is no file.
pub(super) fn offset(walk: &mut Walk<'_>, offset: u64) -> Result<Option<(Place, Outcome)>, Error> {
    let mut offset = Some(offset);
    let mut labelled = false;
    let mut newer: Option<Found> = None;
    while let Some(found) = walk.next()? {
        if let (Some(wanted), Some(from), Some(end)) = (offset, found.from(), found.end()) {
            if from <= wanted && wanted <= end {
                return Ok(Some(Place::from_offset(found, offset)));
            }
            match newer {
                Some(newer) if labelled && end < wanted => return Ok(Some(Place::from_offset(newer, offset))),
                // Not even the newest file goes that far: the offset is of a log that was here before.
                _ if end < wanted => offset = None,
                _ => labelled = true,
            }
        }
        newer = Some(found);
    }
    Ok(newer.map(|oldest| Place::from_offset(oldest, offset)))
}

/// Where to go on after the end of a file that is not the live one: in the next newer file. None when there is none.
pub(super) fn after(walk: &mut Walk<'_>, place: &Place) -> Result<Option<(Place, Outcome)>, Error> {
    let wanted = place.known_offset();
    let mut labelled = false;
    let mut newest: Option<Found> = None;
    let mut newer: Option<Found> = None;
    while let Some(found) = walk.next()? {
        if found.identity == place.identity {
            return Ok(newer.or(newest).map(|next| place.adjacent(next)));
        }
        if let (Some(wanted), Some(from), Some(end)) = (wanted, found.from(), found.end()) {
            if from <= wanted && (wanted < end || wanted > end && !labelled) {
                // It has the next byte; or it is the newest and does not go that far: then the log was begun anew.
                return Ok(Some(Place::from_offset(found, Some(wanted))));
            }
            if from <= wanted {
                return Ok(newer.or(newest).map(|next| Place::from_offset(next, Some(wanted))));
            }
            labelled = true;
        }
        if newest.is_none() { newest = Some(found) } else { newer = Some(found) }
    }
    // The file that was left is not among them.
    if labelled || place.is_unlinked() {
        return Ok(newer.or(newest).map(|oldest| Place::from_offset(oldest, wanted)));
    }
    Ok(newest.filter(|newest| newest.is_live).map(|newest| Place::from_offset(newest, wanted)))
}
