"""What only the command line needs: runner, kernels, accounts, doctor, erase."""
