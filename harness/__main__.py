"""`python -m speech_eval`: the command `speech-eval`."""

from speech_eval.cli.main import main

main()
