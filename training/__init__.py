"""The network, the data sets, training and honest evaluation. Modules that need torch import it themselves."""
