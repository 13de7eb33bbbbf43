"""The component that checks the configuration, the first task of a run."""
