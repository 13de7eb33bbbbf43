"""The configuration: one file per section, the loader, and the complete configuration."""
