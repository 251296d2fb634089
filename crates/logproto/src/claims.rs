//! Which log has which file: no two live logs share one, nor a name that one of them needs when it rotates.

use std::collections::BTreeMap;

use crate::LogPath;

/// The files of all live logs, each with its number of copies and who has it.
#[derive(Clone, Debug)]
pub struct Claims<K> {
    files: BTreeMap<LogPath, (u32, K)>,
}

impl<K> Default for Claims<K> {
    fn default() -> Claims<K> {
        Claims { files: BTreeMap::new() }
    }
}

impl<K: Clone + Eq> Claims<K> {
    /// Who stands in the way of a log with this file and so many copies: the holder and its file. Looks at most at
    /// `copies` + 2 names, however many claims there are.
    pub fn conflict<'a>(&'a self, file: &LogPath, copies: u32) -> Option<(&'a K, &'a LogPath)> {
        let held = |(path, claim): (&'a LogPath, &'a (u32, K))| (&claim.1, path);
        if let Some(found) = self.files.get_key_value(file) {
            return Some(held(found));
        }
        // The new file has the name that a copy of another's will get.
        if let Some((base, number)) = file.as_copy()
            && let Some(found) = self.files.get_key_value(&base)
            && number <= found.1.0
        {
            return Some(held(found));
        }
        // A copy of the new file will get the name that another's file has.
        (1..=copies).find_map(|number| self.files.get_key_value(&file.copy(number))).map(held)
    }

    /// Notes that `holder` has this file. The caller has asked for conflicts before.
    pub fn add(&mut self, file: LogPath, copies: u32, holder: K) {
        self.files.insert(file, (copies, holder));
    }

    /// Makes room in memory: a tree that grew at its end is half empty.
    pub fn pack(&mut self) {
        self.files = std::mem::take(&mut self.files).into_iter().collect();
    }

    /// The file is free again, if `holder` is who has it.
    pub fn remove(&mut self, file: &LogPath, holder: &K) {
        if self.files.get(file).is_some_and(|(_, found)| found == holder) {
            self.files.remove(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RootPath;
    use std::path::Path;

    fn path(name: &str) -> LogPath {
        LogPath::new(format!("/l/{name}").as_bytes(), &RootPath::new(Path::new("/l"))).unwrap()
    }

    #[test]
    fn a_file_has_one_holder() {
        let mut claims = Claims::default();
        claims.add(path("a.log"), 3, 1);
        assert_eq!(claims.conflict(&path("a.log"), 0), Some((&1, &path("a.log"))));
        assert_eq!(claims.conflict(&path("sub/a.log"), 3), None);
        claims.remove(&path("a.log"), &2);
        assert!(claims.conflict(&path("a.log"), 0).is_some());
        claims.remove(&path("a.log"), &1);
        assert!(claims.conflict(&path("a.log"), 0).is_none());
    }

    #[test]
    fn a_name_of_anothers_copy_is_taken_both_ways_round() {
        let mut claims = Claims::default();
        claims.add(path("a.log"), 3, 1);
        assert!(claims.conflict(&path("a.log.1"), 0).is_some());
        assert!(claims.conflict(&path("a.log.3"), 0).is_some());
        assert!(claims.conflict(&path("a.log.4"), 0).is_none());
        let mut claims = Claims::default();
        claims.add(path("a.log.2"), 0, 1);
        assert!(claims.conflict(&path("a.log"), 1).is_none());
        assert!(claims.conflict(&path("a.log"), 2).is_some());
    }
}
