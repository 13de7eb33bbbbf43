"""The learning curve: the same training on shares of the questions and of the documents."""
