"""The command line.

command_table  the table of commands
commands/      One command a file: its flags (`Options`) and its `main`
help           what -h and --help_all print
main           run one command; exit codes
parser         words and YAML to typed flags
"""
