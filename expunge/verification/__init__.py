"""What `expunge verify` checks."""
