//! Maps that are looked at for each request.

use std::collections::HashMap;

/// A map whose keys come from those who run the gateway: nobody else puts anything in, so that its hashes need not withstand
/// an attack, only be fast.
pub type NameMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
