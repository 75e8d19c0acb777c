package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"lep/recipe"
)

func (a *app) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "status RUN",
		Short:   "Show how far a run is",
		Long:    "Show how far the run of a recipe is: every stage with its state and time. It may be asked while the run is at work.",
		Example: "  lep status runs/pocket",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := recipe.ReadStatus(args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(s)
			}
			rows := [][]string{{"stage", "state", "seconds", ""}}
			for _, st := range s.Stages {
				seconds := ""
				if st.Attempts > 0 {
					seconds = fmt.Sprintf("%.1f", st.Seconds)
				}
				note := st.Error
				if note == "" && st.Attempts > 1 {
					note = fmt.Sprintf("%d attempts", st.Attempts)
				}
				rows = append(rows, []string{st.Stage, string(st.State), seconds, note})
			}
			if err := a.table(rows); err != nil {
				return err
			}
			what := "nobody is at work in it"
			if s.Active {
				what = "at work"
			}
			_, err = fmt.Fprintf(a.out, "\n%s: %d of %d stages done, %s\n", s.Recipe, s.Done, len(s.Stages), what)
			return err
		},
	}
}
