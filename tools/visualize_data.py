"""Draw the data of a config and say what is odd. See `python tools/visualize_data.py --help`."""

from projects_ext.visualization import main

if __name__ == "__main__":
    main()
