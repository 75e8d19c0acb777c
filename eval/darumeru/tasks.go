package darumeru

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"lep/eval"
	"lep/internal/hint"
)

// Groups of the paper; tasks of Extra never enter the total.
const (
	DaruMMLU   = "DaruMMLU"
	DaruMERA   = "DaruMERA"
	DaruSum    = "DaruSum"
	DaruCopyEN = "DaruCopy (EN)"
	DaruCopyRU = "DaruCopy (RU)"
)

var (
	oneTwo      = []string{"1", "2"}
	oneTwoThree = []string{"1", "2", "3"}
	letters     = []string{"A", "B", "C", "D"}
	yesNo       = []string{"Да", "Нет"}
	zeroOne     = []string{"0", "1"}
)

// spec is an entry of the table.
type spec struct {
	name, group string
	set         eval.Dataset
	maxNew      int
	choices     []string // nil: the model generates
	metrics     []string
	build       func(spec) requests
	dialogue    func(spec) conversation // in place of build
	grade       grading
	main        string // the metric that is the score; "": the mean of metrics
}

func darumeru(config string) eval.Dataset {
	return eval.Dataset{Hub: "RefalMachine/darumeru", Folder: "darumeru", Config: config}
}

var (
	treeway = eval.Dataset{Hub: "dichspace/daru_treeway_eval", Folder: "daru_treeway_eval"}
	rucola  = eval.Dataset{Hub: "RussianNLP/rucola", Folder: "rucola", Files: map[string][]string{
		"train":      {"in_domain_train.csv"},
		"validation": {"in_domain_dev.csv", "out_of_domain_dev.csv"},
	}}
	copied = []string{"len", "lcs", "symbol_per_token", "tokens_per_word"}
)

// table lists all tasks there are.
var table = []spec{
	{name: "rummlu", group: DaruMMLU, set: darumeru("rummlu"), maxNew: 64, choices: letters, metrics: []string{"acc"}, build: templated, grade: byLabel},
	{name: "nlpcore_rummlu", group: DaruMMLU, set: darumeru("mmlu_nlpcoreteam"), maxNew: 1, choices: letters, metrics: []string{"acc"}, build: mmlu, grade: bySubject},
	{name: "nlpcore_enmmlu", group: DaruMMLU, set: darumeru("mmlu_nlpcoreteam"), maxNew: 1, choices: letters, metrics: []string{"acc"}, build: mmlu, grade: bySubject},

	{name: "multiq", group: DaruMERA, set: darumeru("multiq"), maxNew: 64, metrics: []string{"f1", "em"}, build: templated, grade: bySpans},
	{name: "parus", group: DaruMERA, set: darumeru("parus"), maxNew: 64, choices: oneTwo, metrics: []string{"acc"}, build: exchanged, grade: byPair},
	{name: "rcb", group: DaruMERA, set: darumeru("rcb"), maxNew: 64, choices: oneTwoThree, metrics: []string{"acc", "f1_macro"}, build: templated, grade: byLabel},
	{name: "rwsd", group: DaruMERA, set: darumeru("rwsd"), maxNew: 64, choices: yesNo, metrics: []string{"acc"}, build: templated, grade: byPrefix},
	{name: "use", group: DaruMERA, set: darumeru("use"), maxNew: 64, metrics: []string{"grade_norm"}, build: templated, grade: byExam},
	{name: "ruopenbookqa", group: DaruMERA, set: darumeru("ruopenbookqa"), maxNew: 64, choices: letters, metrics: []string{"acc", "f1_macro"}, build: templated, grade: byLabel},
	{name: "ruworldtree", group: DaruMERA, set: darumeru("ruworldtree"), maxNew: 64, choices: letters, metrics: []string{"acc", "f1_macro"}, build: templated, grade: byLabel},
	{name: "rucola", group: DaruMERA, set: rucola, maxNew: 1, choices: zeroOne, metrics: []string{"acc", "mcc"}, build: acceptability, grade: byLabel},

	{name: "treewayabstractive", group: DaruSum, set: treeway, maxNew: 512, metrics: []string{"rougel", "rouge1", "rouge2"}, build: abstractive, grade: byRouge, main: "rougel"},
	{name: "treewayextractive", group: DaruSum, set: treeway, maxNew: 1, metrics: []string{"r-prec"}, build: extractive, grade: byRank},

	{name: "cp_sent_en", group: DaruCopyEN, set: darumeru("cp_sent_en"), maxNew: 128, metrics: copied, build: templated, grade: byCopy, main: "len"},
	{name: "cp_para_en", group: DaruCopyEN, set: darumeru("cp_para_en"), maxNew: 1024, metrics: copied, build: templated, grade: byCopy, main: "lcs"},
	{name: "cp_sent_ru", group: DaruCopyRU, set: darumeru("cp_sent_ru"), maxNew: 128, metrics: copied, build: templated, grade: byCopy, main: "len"},
	{name: "cp_para_ru", group: DaruCopyRU, set: darumeru("cp_para_ru"), maxNew: 1024, metrics: copied, build: templated, grade: byCopy, main: "lcs"},

	{name: "rutie", group: eval.Extra, set: darumeru("rutie"), maxNew: 64, choices: oneTwo, metrics: []string{"acc"}, build: dialogue, grade: byPair},
	{name: "rutie_own", group: eval.Extra, set: darumeru("rutie"), maxNew: 64, choices: oneTwo, metrics: []string{"acc"}, dialogue: ownDialogue, grade: byPair},
}

// version changes when a task's requests or grades would differ for the same data.
const version = 1

func (s spec) task() eval.Task {
	method := eval.Choice
	switch {
	case s.name == "treewayextractive":
		method = eval.LogProb
	case s.choices == nil:
		method = eval.Generate
	}
	t := eval.Task{
		Name: s.name, Group: s.group, Version: version, Method: method, MaxNewTokens: s.maxNew, Metrics: s.metrics,
		Measure: s.grade.measure, Aggregate: s.grade.aggregate(s.metrics), Units: s.grade.units,
	}
	if s.dialogue != nil {
		t.Dialogue = s.dialogue(s)
	} else {
		t.Requests = s.build(s)
	}
	if s.main != "" {
		t.Score = func(m map[string]float64) float64 { return m[s.main] }
	}
	return t
}

// Tasks returns the 17 tasks in the order of the table.
func Tasks() []eval.Task {
	var list []eval.Task
	for _, s := range table {
		if s.group != eval.Extra {
			list = append(list, s.task())
		}
	}
	return list
}

// Names returns the names of all tasks, extras included.
func Names() []string {
	var list []string
	for _, s := range table {
		list = append(list, s.name)
	}
	return list
}

// Select returns tasks by their names in lower case; "darumeru" means the 17, a group's name its
// tasks. An unknown name is an error that suggests the nearest one.
func Select(names []string) ([]eval.Task, error) {
	var list []eval.Task
	have := map[string]bool{}
	for _, name := range names {
		found := false
		for _, s := range table {
			if name == s.name || strings.EqualFold(name, s.group) || name == "darumeru" && s.group != eval.Extra {
				found = true
				if !have[s.name] {
					have[s.name] = true
					list = append(list, s.task())
				}
			}
		}
		if !found {
			return nil, hint.Wrap(fmt.Errorf("unknown task %q", name), "did you mean "+Nearest(name)+"? The tasks are darumeru (all 17), "+strings.Join(Names(), ", "))
		}
	}
	return list, nil
}

// Nearest returns the task whose name is most like another.
func Nearest(name string) string {
	return hint.Nearest(name, append([]string{"darumeru"}, Names()...), math.MaxInt-1)
}

//go:embed wording.json
var defaultWording []byte

// DefaultWording returns our wording of the five tasks whose text is not in the data. Whoever
// wants figures comparable with published ones puts the authors' in its place.
func DefaultWording() eval.Wording {
	w, err := parseWording(defaultWording)
	if err != nil {
		panic("darumeru: " + err.Error()) // the embedded file is ours
	}
	return w
}

// ReadWording reads a file in the layout of the default one; tasks that it lacks keep theirs.
func ReadWording(path string) (eval.Wording, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	given, err := parseWording(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	w := DefaultWording()
	for task, texts := range given {
		if w[task] == nil {
			return nil, fmt.Errorf("%s: %q is no task with a wording", path, task)
		}
		for name, text := range texts {
			if _, known := w[task][name]; !known {
				return nil, fmt.Errorf("%s: %s: unknown text %q", path, task, name)
			}
			w[task][name] = text
		}
	}
	return w, nil
}

func parseWording(data []byte) (eval.Wording, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, err
	}
	delete(raw, "comment")
	w := eval.Wording{}
	for task, texts := range raw {
		var m map[string]string
		if err := json.Unmarshal(texts, &m); err != nil {
			return nil, fmt.Errorf("%s: %w", task, err)
		}
		w[task] = m
	}
	return w, nil
}

//go:embed subjects.tsv
var subjectLines string

// subject is one of MMLU's 57.
type subject struct{ id, category, english, russian string }

var subjects = func() []subject {
	var list []subject
	for line := range strings.Lines(subjectLines) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		list = append(list, subject{f[0], f[1], f[2], f[3]})
	}
	return list
}()

func category(id string) (string, bool) {
	i := slices.IndexFunc(subjects, func(s subject) bool { return s.id == id })
	if i < 0 {
		return "", false
	}
	return subjects[i].category, true
}
