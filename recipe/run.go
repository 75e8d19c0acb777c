package recipe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"lep/internal/hint"
)

// Options say how a recipe is run; none of them changes a result.
type Options struct {
	Until string // last stage, or kind of stage, to run; "" for all
	From  string // first stage, or kind, to do again even if it is done
	// Accept takes outputs that were changed by hand as they are; Redo makes them anew.
	Accept, Redo bool
	Jobs         int   // independent stages at a time
	EvalJobs     int   // evaluations at a time, if that is more: measuring small models is quicker a thread each
	Memory       int64 // bytes that stages may use together, 0 for what is free
	Threads      int
	BLAS         string
	Version      string
	// GFLOPS is the speed of the machine, for forecasts of time; 0 for none.
	GFLOPS float64
	Key    string // bearer token of servers
	Python string // interpreter of the torch backend, where a recipe names none

	OnEvent func(Event)
	// Progress and Warn are told of the work inside stages; either may be nil. Progress may be called
	// from several goroutines where Jobs or EvalJobs is above 1.
	Progress func(stage, what, unit string) (update func(done, total int64), done func())
	Warn     func(format string, args ...any)
}

// DefaultOptions runs one stage at a time on all processors.
func DefaultOptions() Options { return Options{Jobs: 1, BLAS: "auto"} }

// Run is a recipe in its folder. Close gives the folder free.
type Run struct {
	recipe  *Recipe
	opts    Options
	graph   *Graph
	lock    *flock.Flock
	digests *digests
	events  *events
	state   map[*Stage]*stageState
	free    int64 // memory, in bytes; 0 if not known
}

// stageState is what is known of a stage.
type stageState struct {
	record   *Record // of an earlier run, nil if there is none
	hash     string
	inputs   map[string]string
	identity string // what stages behind it follow from: the hash, and an accepted change
	state    State
	why      string // for Outdated and Changed
	count    int
	memory   int64 // foreseen, in bytes
}

// Open lays out a recipe, takes its run folder and looks at what is there.
func Open(r *Recipe, opts Options) (*Run, error) {
	run, err := lay(r, opts)
	if err != nil {
		return nil, err
	}
	if run.lock, err = lockFolder(r.RunDir); err != nil {
		return nil, err
	}
	if err := run.look(); err != nil {
		run.Close()
		return nil, err
	}
	if run.events, err = openEvents(filepath.Join(r.RunDir, EventsName), opts.OnEvent); err != nil {
		run.Close()
		return nil, err
	}
	return run, nil
}

// lay lays out the stages and touches nothing.
func lay(r *Recipe, opts Options) (*Run, error) {
	g, err := NewGraph(r)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{opts.Until, opts.From} {
		if err := g.check(name); err != nil {
			return nil, err
		}
	}
	return &Run{recipe: r, opts: opts, graph: g, state: map[*Stage]*stageState{}, digests: openDigests(filepath.Join(r.RunDir, digestsName))}, nil
}

// Close gives the run folder free.
func (r *Run) Close() error {
	var err error
	if r.events != nil {
		err = r.events.file.Close()
	}
	return errors.Join(err, r.digests.save(), r.lock.Close())
}

// check refuses names that are no stage.
func (g *Graph) check(name string) error {
	if name == "" || slices.Contains(kinds, Kind(name)) || slices.ContainsFunc(g.Stages, func(s *Stage) bool { return s.Name == name }) {
		return nil
	}
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	for _, s := range g.Stages {
		names = append(names, s.Name)
	}
	return hint.Errorf(hint.DidYouMean(name, names), "no stage %q", name)
}

// names reports whether name means the stage, by itself or by its kind.
func (s *Stage) named(name string) bool { return s.Name == name || string(s.Kind) == name }

// wanted are the stages up to Options.Until: those and what they need.
func (r *Run) wanted() map[*Stage]bool {
	want := map[*Stage]bool{}
	var need func(s *Stage)
	need = func(s *Stage) {
		want[s] = true
		for _, n := range s.Needs {
			if !want[n] {
				need(n)
			}
		}
	}
	for _, s := range r.graph.Stages {
		if r.opts.Until == "" || s.named(r.opts.Until) {
			need(s)
		}
	}
	return want
}

// Result is what a run came to.
type Result struct {
	Dir     string  `json:"dir"`
	Report  string  `json:"report,omitempty"`
	Results string  `json:"results,omitempty"`
	Ran     int     `json:"stages_run"`
	Kept    int     `json:"stages_kept"`
	Seconds float64 `json:"seconds"`
}

// Run does all stages that are not done. When ctx is done, stages that can write a checkpoint first,
// and ctx's error is returned; the next run goes on from there.
func (r *Run) Run(ctx context.Context) (*Result, error) {
	start := time.Now()
	want := r.wanted()
	for s, st := range r.state {
		if want[s] && st.state == Changed {
			return nil, hint.Errorf("--accept takes it as it is and does anew what follows from it; --redo makes it anew", "stage %s was changed by hand: %s", s.Name, st.why)
		}
	}
	foreseen, err := r.foreseeAll()
	if err != nil {
		return nil, err
	}
	if err := r.refuse(foreseen); err != nil {
		return nil, err
	}
	r.limits(foreseen)
	if err := r.writeLocked(); err != nil {
		return nil, err
	}
	res := &Result{Dir: r.recipe.RunDir}
	err = r.schedule(ctx, want, res)
	res.Seconds = time.Since(start).Seconds()
	if err != nil {
		return res, r.explain(err)
	}
	if want[r.graph.Stages[len(r.graph.Stages)-1]] {
		res.Report, res.Results = filepath.Join(res.Dir, ReportName), filepath.Join(res.Dir, ResultsName)
	}
	return res, nil
}

// explain adds what to do about errors of any stage.
func (r *Run) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return hint.Wrap(err, "make room on the disk of "+r.recipe.RunDir+"; the same command goes on from what is done")
	}
	return err
}

// schedule starts stages whose needs are done, as many at a time as Jobs and the memory allow.
func (r *Run) schedule(ctx context.Context, want map[*Stage]bool, res *Result) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		stage *Stage
		err   error
	}
	finished := make(chan outcome)
	running := map[*Stage]bool{}
	done := map[*Stage]bool{}
	todo := 0
	for _, s := range r.graph.Stages {
		if want[s] && r.state[s].state != Done {
			todo++
		}
	}
	var first error
	for number := 0; ; {
		for _, s := range r.graph.Stages {
			if !want[s] || done[s] || running[s] || slices.ContainsFunc(s.Needs, func(n *Stage) bool { return !done[n] }) {
				continue
			}
			if r.state[s].state == Done {
				done[s] = true
				res.Kept++
				continue
			}
			if first != nil || ctx.Err() != nil || !r.mayStart(s, running) {
				continue
			}
			number++
			running[s] = true
			r.state[s].count = number
			if err := r.announce(s, number, todo); err != nil {
				return err
			}
			go func() { finished <- outcome{s, r.do(ctx, s)} }()
		}
		if len(running) == 0 {
			break // all is done, or something has failed
		}
		o := <-finished
		delete(running, o.stage)
		if o.err != nil {
			if first == nil {
				first = fmt.Errorf("stage %s: %w", o.stage.Name, o.err)
			}
			cancel()
			continue
		}
		done[o.stage] = true
		res.Ran++
	}
	if first == nil {
		first = ctx.Err()
	}
	return first
}

func (r *Run) announce(s *Stage, number, count int) error {
	st := r.state[s]
	ev := Event{Event: "start", Stage: s.Name, Number: number, Count: count, Note: st.why}
	if r.resumable(s) {
		ev.Event = "resume"
	}
	return r.events.add(ev)
}

// resumable reports that an earlier attempt with the same inputs left something to go on from.
func (r *Run) resumable(s *Stage) bool {
	st := r.state[s]
	return st.record != nil && st.record.Hash == st.hash && (st.state == Running || st.state == Failed)
}

// do does one stage and keeps what came of it.
func (r *Run) do(ctx context.Context, s *Stage) error {
	st := r.state[s]
	rec := st.record
	if !r.resumable(s) {
		if err := os.RemoveAll(s.dir); err != nil {
			return err
		}
		rec = &Record{Stage: s.Name, Kind: s.Kind, Hash: st.hash, Inputs: st.inputs, Needs: map[string]string{}, Started: time.Now().UTC()}
		for _, n := range s.Needs {
			rec.Needs[n.Name] = r.state[n].identity
		}
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	var err error
	if rec.Options, err = settings(s.options); err != nil {
		return err
	}
	rec.State, rec.Error, rec.Lep = Running, "", r.opts.Version
	rec.Attempts++
	if err := rec.write(s.dir); err != nil {
		return err
	}
	start := time.Now()
	result, err := r.work(ctx, s)
	rec.Seconds += time.Since(start).Seconds()
	if err == nil {
		err = r.finish(s, rec, result)
	}
	if err != nil {
		rec.State, rec.Error = Failed, err.Error()
		if ctx.Err() != nil {
			rec.State, rec.Error = Running, ""
		}
		ev := Event{Event: "failed", Stage: s.Name, Note: rec.Error, Seconds: rec.Seconds}
		if ctx.Err() != nil {
			ev.Event = "stopped"
		}
		return errors.Join(err, rec.write(s.dir), r.events.add(ev))
	}
	st.record, st.state = rec, Done
	return r.events.add(Event{Event: "done", Stage: s.Name, Seconds: rec.Seconds})
}

// finish notes what a stage has made; the record is the last thing written.
func (r *Run) finish(s *Stage, rec *Record, result any) error {
	var err error
	if rec.Result, err = json.Marshal(result); err != nil {
		return err
	}
	if rec.Outputs, err = r.outputs(s); err != nil {
		return err
	}
	rec.State, rec.Finished = Done, time.Now().UTC()
	if err := rec.write(s.dir); err != nil {
		return err
	}
	return r.digests.save()
}
