"""How the page is put together."""
