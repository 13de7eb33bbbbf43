"""The encoding of the passages as a KFP component; it is no stage."""
