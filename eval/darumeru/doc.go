// Package darumeru is the benchmark of the paper on Learned Embedding Propagation (Tikhomirov &
// Chernyshov, arXiv:2412.21140, section 2.3): 17 tasks in five groups, as a table.
//
//	tasks, err := darumeru.Select([]string{"darumeru"})
//	result, err := eval.Run(ctx, model, tasks, eval.Options{Data: eval.Data{Dirs: []string{"data"}}, Out: "out"})
//
// To add a task, add an entry to the table in tasks.go.
package darumeru
