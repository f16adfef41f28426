"""Side-by-side timings; run by `make bench`, results in docs/benchmarks.md."""
