package report

import (
	"lep/eval"
	"lep/propagate"
	"lep/vocab/stats"
)

// Number is a float64 that JSON can always hold: NaN and infinities are null.
type Number = propagate.Number

// Format is the value of Run.Format by which a results.json is known.
const Format = "lep-run-1"

// Run is everything that a page says. Every part may be missing; the page leaves
// it out. Models are referred to by Model.Name.
type Run struct {
	Format string `json:"format"` // Format; Save fills it in
	Title  string `json:"title"`
	Lead   string `json:"lead,omitempty"` // one or two sentences under the title
	Lep    string `json:"lep,omitempty"`  // version that made it
	// Machine is what the times were taken on: "2 cores, 24 GB, openblas".
	Machine string `json:"machine,omitempty"`

	Steps     []Step   `json:"steps,omitempty"`
	Languages []string `json:"languages,omitempty"` // order of the columns of Model.Languages; others follow by name
	Tasks     []Task   `json:"tasks,omitempty"`     // order of the columns of Model.Tasks; others follow by name
	Models    []Model  `json:"models"`
	// Reference is the model that others are held against: the original instruct model.
	Reference string `json:"reference,omitempty"`

	Curves      []Curve      `json:"curves,omitempty"`
	Projections []Projection `json:"projections,omitempty"`
	Answers     []Answered   `json:"answers,omitempty"`
	Cuts        []CutText    `json:"cuts,omitempty"`
	Comparisons []Comparison `json:"comparisons,omitempty"`
	Samples     []Samples    `json:"samples,omitempty"`

	Reproduce []string `json:"reproduce,omitempty"` // commands, one a line
	Notes     []string `json:"notes,omitempty"`
}

// Step is a piece of work that was done.
type Step struct {
	Name     string    `json:"name"`           // train-extension
	Verb     string    `json:"verb,omitempty"` // vocab, embed, train, propagate, calibrate, tune, eval, export
	Does     string    `json:"does,omitempty"` // one sentence
	State    string    `json:"state"`          // done, kept (an earlier run's result was taken), failed, not run
	Settings []Setting `json:"settings,omitempty"`
	// Seconds is the wall time, of an earlier run for one that was kept; CPUSeconds that of
	// all threads; Memory the peak in bytes. 0 where not measured.
	Seconds    Number `json:"seconds"`
	CPUSeconds Number `json:"cpu_seconds,omitempty"`
	Memory     int64  `json:"memory_bytes,omitempty"`
	Cost       string `json:"cost,omitempty"` // "3.1 GPU hours, $7.80"
}

// Setting is a setting of a step, as a recipe spells it.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Task is a column of the table of tasks.
type Task struct {
	Name  string `json:"name"`
	Group string `json:"group,omitempty"`
	// Score says what the figure is: "accuracy"; Chance is what guessing gives, 0 where that is
	// no question.
	Score  string `json:"score,omitempty"`
	Chance Number `json:"chance,omitempty"`
}

// Model is a row of the tables.
type Model struct {
	Name string `json:"name"`
	// Role is source, target, donor, control or result; "" if not known.
	Role string `json:"role,omitempty"`
	// Vocabulary, Method and Step tell the rows of a grid apart: "extension", "ridge",
	// "calibrated". Rows that agree in Role and these and differ in Seed are shown as their mean.
	Vocabulary string  `json:"vocabulary,omitempty"`
	Method     string  `json:"method,omitempty"`
	Step       string  `json:"step,omitempty"`
	Seed       *uint64 `json:"seed,omitempty"`

	Folder     string `json:"folder,omitempty"` // as a user would find it
	Digest     string `json:"digest,omitempty"`
	VocabSize  int    `json:"vocab_size,omitempty"`
	Parameters int64  `json:"parameters,omitempty"`
	// Evaluation is the folder of its evaluation (results.json and samples), relative to the
	// run's folder.
	Evaluation string `json:"evaluation,omitempty"`

	Languages map[string]Language `json:"languages,omitempty"`
	Tasks     map[string]Figure   `json:"tasks,omitempty"`
	Groups    map[string]Figure   `json:"groups,omitempty"`
	Total     *Figure             `json:"total,omitempty"`
	// Failed are tasks that could not be run, with the reason; Missing those that the total
	// lacks.
	Failed  map[string]string `json:"failed,omitempty"`
	Missing []string          `json:"missing,omitempty"`
	// CharactersPerSecond is the speed of generation over all tasks; see Language for one language.
	CharactersPerSecond *Figure `json:"characters_per_second,omitempty"`
}

// Language holds what was measured on texts of a language (or any named set of texts).
type Language struct {
	BitsPerByte         *Figure `json:"bits_per_byte,omitempty"`
	CharactersPerToken  *Figure `json:"characters_per_token,omitempty"`
	CharactersPerSecond *Figure `json:"characters_per_second,omitempty"` // of generation
	Bytes               int64   `json:"bytes,omitempty"`
}

// Figure is a number with its spread. A nil *Figure is a figure that was not taken.
type Figure struct {
	Value   Number `json:"value"`
	*Spread        // nil if not known
	N       int    `json:"n,omitempty"` // samples, documents or seeds that it is a mean of
}

// Spread says how sure a figure is: 95 % of the draws of a bootstrap lie between Low and High.
type Spread struct {
	Stderr Number `json:"stderr"`
	Low    Number `json:"low"`
	High   Number `json:"high"`
}

// Plain is a figure without a spread.
func Plain(value float64) *Figure { return &Figure{Value: Number(value)} }

// Sampled is a figure of n samples with its interval.
func Sampled(i eval.Interval, n int) *Figure {
	return &Figure{Value: Number(i.Score), Spread: &Spread{Number(i.Stderr), Number(i.Low), Number(i.High)}, N: n}
}

// Curve is the course of a measure over a training. Curves of one Measure share a chart.
type Curve struct {
	Name    string   `json:"name"`    // the step or model
	Measure string   `json:"measure"` // loss, bits_per_byte, or a task's name
	X       []Number `json:"x"`       // tokens seen
	Y       []Number `json:"y"`
}

// Projection is how one matrix of a model was made.
type Projection struct {
	Model string `json:"model"`
	propagate.ModuleResult
}

// Answered is a prompt with the answers of several models.
type Answered struct {
	Prompt  string   `json:"prompt"`
	Lang    string   `json:"lang,omitempty"` // ISO 639-1, for the page's lang attribute
	Want    string   `json:"want,omitempty"` // the right answer, if there is one
	Answers []Answer `json:"answers"`
}

// Answer is what a model said.
type Answer struct {
	Model   string `json:"model"`
	Text    string `json:"text"`
	Tokens  int    `json:"tokens,omitempty"`
	Seconds Number `json:"seconds,omitempty"`
	Right   *bool  `json:"right,omitempty"`
	Score   Number `json:"score,omitempty"` // where answers are not right or wrong
}

// CutText is a text as the tokens of several vocabularies.
type CutText struct {
	Lang string `json:"lang,omitempty"` // ISO 639-1
	Cuts []Cut  `json:"cuts"`
}

// Cut is what a vocabulary makes of a text; stats.Spans gives the spans.
type Cut struct {
	Vocabulary string       `json:"vocabulary"`
	Spans      []stats.Span `json:"spans"`
}

// Comparison sets two models against each other, task by task, on the same samples.
type Comparison struct {
	A     string            `json:"a"`
	B     string            `json:"b"`
	Tasks []eval.Comparison `json:"tasks"`
}

// Samples are the requests of a task with every model's answer.
type Samples struct {
	Task string `json:"task"`
	// Total is how many there are; List is a part of them, chosen as Chosen says.
	Total  int        `json:"total"`
	Chosen string     `json:"chosen,omitempty"`
	List   []Answered `json:"list"`
}
