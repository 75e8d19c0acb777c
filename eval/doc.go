// Package eval runs tasks on a model and says how well it does: it builds the prompts with their
// examples, asks the model by one of three methods (generate, choice, logprob), keeps every answer
// as it comes so that a run can be continued, and sums up with standard errors.
//
// A [Task] is data and four functions; package eval/darumeru has the tasks of the benchmark and
// ReadTask makes one of a YAML file. [Run] runs tasks on a [Model]: [NewNative] or [NewRemote].
//
//	m, err := eval.NewNative(engine, eval.NativeOptions{})
//	result, err := eval.Run(ctx, m, darumeru.Tasks(), eval.Options{Data: eval.Data{Dirs: []string{"data"}}, Out: "out"})
//	fmt.Println(*result.Total)
package eval
