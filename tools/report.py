"""Show how good a run is on a page to click through, or compare two. See --help."""

from projects_ext.report.command import main

if __name__ == "__main__":
    main()
