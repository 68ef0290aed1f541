"""``python -m benchmarks.coverage``, see `benchmarks.coverage.run`, which the processes can import."""

from benchmarks.coverage.run import main

if __name__ == "__main__":
    main()
