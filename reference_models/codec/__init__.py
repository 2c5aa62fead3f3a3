"""Neural audio codecs: encoder, quantizer, decoder, and what trains them."""
