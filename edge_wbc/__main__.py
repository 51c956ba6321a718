from edge_wbc.cli.main import main

if __name__ == "__main__":
    main()
