"""Image quality and prompt alignment on retained prompts."""
