package calibrate

import "testing"

// TestSettingsDigest: what changes answers makes another journal; float32, which journals had
// before there was another precision, does not.
func TestSettingsDigest(t *testing.T) {
	digest := func(change func(*Options)) string {
		o := DefaultOptions()
		change(&o)
		d, err := settingsDigest(&o, Asked{}, &prompts{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	plain := digest(func(*Options) {})
	for name, c := range map[string]struct {
		change func(*Options)
		same   bool
	}{
		"no precision": {func(o *Options) { o.Engine.Precision = "" }, true},
		"threads":      {func(o *Options) { o.Engine.Threads = 7 }, true},
		"bf16":         {func(o *Options) { o.Engine.Precision = "bf16" }, false},
		"int8":         {func(o *Options) { o.Engine.Int8 = true }, false},
		"temperature":  {func(o *Options) { o.Sampling.Temperature = 0.5 }, false},
	} {
		if same := digest(c.change) == plain; same != c.same {
			t.Errorf("%s: same journal %t, want %t", name, same, c.same)
		}
	}
}
