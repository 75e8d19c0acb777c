// Package cli is the command line of lep: one file for each verb, which fills the
// options of a library package from flags, calls it and prints the result.
// Results go to standard output, logs and progress to standard error. Only this
// package knows the process's streams, arguments and exit status.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lep/internal/hint"
)

// Exit statuses, the same for every verb.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitCheck       = 3 // a check not passed, or a result incomplete
	exitInterrupted = 130
)

// app is what every verb gets: the streams and the flags that all verbs share.
type app struct {
	in       io.Reader
	out, err io.Writer

	json    bool
	threads int
	blas    string
	seed    int64
	force   bool
}

// usageError marks a wrong call: exit status 2 and a pointer to --help.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errCheck is returned by a verb whose result says that a check has not passed;
// the result itself is already printed.
var errCheck = errors.New("a check has not passed")

// Main runs one command line and returns its exit status. An interrupt or a
// SIGTERM cancels the context; a second one ends the process at once.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from now on the default action: a second signal kills
	// Embedding matrices come and go: a tighter collector keeps the peak near the need.
	debug.SetGCPercent(50)
	a := &app{in: stdin, out: stdout, err: stderr}
	cmd := a.root()
	cmd.SetArgs(args)
	return a.report(ctx, cmd.ExecuteContext(ctx))
}

func (a *app) report(ctx context.Context, err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errCheck):
		a.printError(err)
		return exitCheck
	case ctx.Err() != nil:
		fmt.Fprintln(a.err, "lep: interrupted")
		return exitInterrupted
	}
	a.printError(err)
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func (a *app) printError(err error) {
	fmt.Fprintf(a.err, "lep: %v\n", err)
	if h := hint.Of(err); h != "" {
		fmt.Fprintf(a.err, "hint: %s\n", h)
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "lep",
		Short: "Adapt a language model to a new language: vocabulary, embeddings, propagation",
		Long: `lep brings a better vocabulary for your language into a language model and carries
the embeddings that a base model learned for it into any instruct model of the
same family (Learned Embedding Propagation, arXiv 2412.21140).

Start with ` + "`lep demo`" + `.`,
		SilenceUsage:               true,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		Args:                       cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownVerb(cmd, args[0])
		},
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetIn(a.in)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetGlobalNormalizationFunc(kebab)
	root.SetFlagErrorFunc(flagError)
	f := root.PersistentFlags()
	f.BoolVar(&a.json, "json", false, "print JSON on standard output and nothing else there")
	f.IntVar(&a.threads, "threads", runtime.NumCPU(), "processor threads to use")
	f.StringVar(&a.blas, "blas", "auto", "linear algebra: auto, builtin, openblas, mkl, accelerate or gonum")
	f.Int64Var(&a.seed, "seed", 1, "seed of everything random")
	f.BoolVar(&a.force, "force", false, "replace an output that is already there")
	root.AddCommand(
		a.demoCmd(), a.runCmd(), a.statusCmd(), a.propagateCmd(), a.embedCmd(), a.tokenizeCmd(), a.trainCmd(), a.mergeCmd(), a.exportCmd(), a.calibrateCmd(), a.publishCmd(), a.planCmd(), a.vocabCmd(), a.checkCmd(),
		a.evalCmd(), a.reportCmd(), a.scoreCmd(), a.generateCmd(), a.chatCmd(),
		a.inspectCmd(), a.doctorCmd(), a.benchCmd(), a.versionCmd(),
	)
	exactArgs(root)
	return root
}

// exactArgs turns cobra's argument errors into usage errors, for all verbs.
func exactArgs(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		exactArgs(c)
		if c.HasSubCommands() && c.RunE == nil && c.Run == nil {
			c.Args = cobra.ArbitraryArgs
			c.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) == 0 {
					return cmd.Help()
				}
				return unknownVerb(cmd, args[0])
			}
		}
		if check := c.Args; check != nil {
			c.Args = func(cmd *cobra.Command, args []string) error {
				if err := check(cmd, args); err != nil {
					return hint.Wrap(usageError{err}, "see "+cmd.CommandPath()+" --help")
				}
				return nil
			}
		}
	}
}

func unknownVerb(cmd *cobra.Command, word string) error {
	err := usagef("unknown command %q for %q", word, cmd.CommandPath())
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		return hint.Wrap(err, "did you mean "+strings.Join(near, ", ")+"?")
	}
	return hint.Wrap(err, "see "+cmd.CommandPath()+" --help")
}

// kebab accepts the underscore spelling that other tools use for flags.
func kebab(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
}

func flagError(cmd *cobra.Command, err error) error {
	advice := "see " + cmd.CommandPath() + " --help"
	if word, ok := strings.CutPrefix(err.Error(), "unknown flag: --"); ok {
		if near := nearestFlag(cmd, word); near != "" {
			advice = "did you mean --" + near + "?"
		}
	}
	return hint.Wrap(usageError{err}, advice)
}

// nearestFlag suggests a flag for one that is not known, "" if none is near.
func nearestFlag(cmd *cobra.Command, word string) string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return hint.Nearest(word, names, 2)
}
