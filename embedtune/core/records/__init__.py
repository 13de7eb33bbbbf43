"""The JSON contracts: one frozen, versioned record per file, with one writer and one reader."""
