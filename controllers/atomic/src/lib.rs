//! One optimistic status write per transition: nothing lost, nothing applied twice.
