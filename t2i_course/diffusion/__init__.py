"""2020 to 2023: pictures that are drawn by taking noise away, in pixels and in latents."""
