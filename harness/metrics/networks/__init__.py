"""Networks and acoustic front ends of the metrics."""
