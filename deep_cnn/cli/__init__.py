"""The command line.

command_table  The table of commands
commands/      One command a file: its flags (`Options`) and its `main`
help           What -h and --help_all print
main           The command line: commands, flags, help
parser         From words of the command line, and from a YAML file, to typed flags
"""
