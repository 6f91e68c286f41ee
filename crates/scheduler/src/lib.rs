//! Filter, score, bind; every node's reason kept.
