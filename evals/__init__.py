"""Cases, scorers and suites of this project's workflows."""
