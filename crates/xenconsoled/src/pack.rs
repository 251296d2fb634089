//! Maps that stay for long: as small as they can be.

use std::collections::BTreeMap;

/// Makes a tree anew. One that grew at its end, as those of numbers and names in order do, has its nodes half full; one that is made
/// at once has them full (`BTreeMap::from_iter`). To be done when it has stood still for a while: it takes as long as to fill it.
pub fn pack<K: Ord, V>(tree: &mut BTreeMap<K, V>) {
    *tree = std::mem::take(tree).into_iter().collect();
}
