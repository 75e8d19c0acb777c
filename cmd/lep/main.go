// Command lep brings a language model's vocabulary to a new language and carries
// learned embeddings into instruct models (Learned Embedding Propagation,
// arXiv 2412.21140). `lep --help` lists the verbs.
package main

import (
	"os"

	"lep/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
