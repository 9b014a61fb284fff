"""What this process may use and how it works: options, limits, memory, threads, locks, caches."""
