"""The bundled benchmark tasks, one module each."""
