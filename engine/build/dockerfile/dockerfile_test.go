package dockerfile

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"devstack/engine/image"
)

func options() Options {
	return Options{Platform: image.HostPlatform(), BuildPlatform: image.HostPlatform()}
}

func parse(t *testing.T, text string, o Options) *File {
	t.Helper()
	f, err := Parse([]byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// evaluate goes through all stages, each on its base; images are empty.
func evaluate(t *testing.T, text string, o Options) (Plan, error) {
	t.Helper()
	f := parse(t, text, o)
	plans := map[*Stage]Plan{}
	target, err := f.Target()
	if err != nil {
		return Plan{}, err
	}
	for _, s := range f.Needs(target) {
		base := StateOf(image.File{Platform: image.HostPlatform()})
		if s.Base.Kind == Built {
			base = plans[s.Base.Stage].State
		}
		p, err := f.Evaluate(s, base)
		if err != nil {
			return Plan{}, err
		}
		plans[s] = p
	}
	return plans[target], nil
}

func TestScopesOfArguments(t *testing.T) {
	o := options()
	o.Args = map[string]string{"GIVEN": "given", "HTTP_PROXY": "http://p"}
	p, err := evaluate(t, `ARG BASE=scratch
ARG GLOBAL=global
ARG GIVEN=default
FROM ${BASE} AS a
ARG GLOBAL
ARG GIVEN
ARG OWN=own-$GLOBAL
ENV E=${OWN}/${UNSET:-fallback}
FROM a
RUN echo $OWN ${TARGETARCH}
ARG TARGETARCH
RUN echo ${TARGETARCH}
`, o)
	if err != nil {
		t.Fatal(err)
	}
	run := p.Steps[1].Run
	for _, want := range []string{"GLOBAL=global", "GIVEN=given", "OWN=own-global", "E=own-global/fallback", "TARGETARCH=" + image.HostPlatform().Architecture} {
		if !slices.Contains(run.Env, want) {
			t.Errorf("%s is missing in %q", want, run.Env)
		}
	}
	if !slices.Equal(run.Proxy, []string{"HTTP_PROXY=http://p", "http_proxy=http://p"}) {
		t.Errorf("proxy is %q", run.Proxy)
	}
	if env := p.State.Image.Config.Env; !slices.Equal(env, []string{"PATH=" + DefaultPath, "E=own-global/fallback"}) {
		t.Errorf("arguments are in the image: %q", env)
	}
	if slices.ContainsFunc(p.Steps[0].Run.Env, func(s string) bool { return strings.HasPrefix(s, "TARGETARCH") }) {
		t.Error("a predefined argument is there before ARG")
	}
}

func TestHeredocs(t *testing.T) {
	p, err := evaluate(t, `FROM scratch
ARG WHO=world
RUN <<EOF
echo one
echo two
EOF
RUN <<-'X' cat > /a
	text
	X
RUN <<PY
#!/usr/bin/python3
print(1)
PY
COPY <<EOF <<'RAW' /dir/
hello $WHO
EOF
hello $WHO
RAW
`, options())
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Steps[0].Run.Args; !slices.Equal(got, []string{"/bin/sh", "-c", "echo one\necho two\n"}) {
		t.Errorf("simple: %q", got)
	}
	if got := p.Steps[1].Run.Args[2]; !strings.HasPrefix(got, "<<-'X' cat > /a\n") || !strings.HasSuffix(got, "\nX") {
		t.Errorf("composed: %q", got)
	}
	if r := p.Steps[2].Run; r.Script == nil || r.Script.Data != "#!/usr/bin/python3\nprint(1)\n" || r.Args[2] != "/dev/pipes/PY" {
		t.Errorf("script: %+v", r)
	}
	if c := p.Steps[3].Copy.Contents; c[0] != (Content{"EOF", "hello world\n"}) || c[1] != (Content{"RAW", "hello $WHO\n"}) {
		t.Errorf("copy: %+v", c)
	}
}

func TestOnBuild(t *testing.T) {
	p, err := evaluate(t, `FROM scratch AS base
ONBUILD COPY . /src
ONBUILD RUN make
FROM base
CMD ["x"]
`, options())
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Steps) != 2 || p.Steps[1].Name != "ONBUILD RUN make" || p.Steps[0].Lines.First != 4 || p.State.Image.Config.OnBuild != nil {
		t.Errorf("%+v", p)
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		text string
		line int
		want string
	}{
		{"", 0, "empty"},
		{"FROM scratch\nFORM x\n", 2, "unknown instruction: FORM"},
		{"RUN x\n", 1, "no build stage"},
		{"FROM scratch\nRUN --mount=type=nothing x\n", 2, "unsupported mount type"},
		{"FROM scratch\nCOPY --from=b a /\nFROM scratch AS b\n", 2, "needs to be defined before"},
		{"FROM scratch AS a\nCOPY --from=a a /\n", 2, "circular"},
		{"FROM scratch\nCOPY --from=7 a /\n", 2, "invalid stage index 7"},
		{"FROM scratch\nCOPY --from=$X a /\n", 2, "variable expansion"},
		{"FROM scratch\nCOPY --chmod=99999 a /\n", 2, "invalid chmod"},
		{"FROM scratch\nCOPY http://x/y /\n", 2, "use ADD"},
		{"FROM scratch\nADD --checksum=sha256:0 a /\n", 2, "checksum requires"},
		{"FROM scratch\nCOPY --link --chown=joe a /\n", 2, "--link"},
		{"FROM scratch\nEXPOSE 80/icmp\n", 2, "invalid proto"},
		{"FROM scratch\nEXPOSE 99999\n", 2, "invalid containerPort"},
		{"FROM scratch\nSTOPSIGNAL SIGNOTHING\n", 2, "signal"},
		{"FROM scratch\nVOLUME [\"\"]\n", 2, "VOLUME"},
		{"FROM scratch\nENV\n", 2, "ENV"},
		{"FROM scratch\nHEALTHCHECK NOPE\n", 2, "HEALTHCHECK"},
		{"FROM scratch\nSHELL bash\n", 2, "SHELL"},
		{"FROM scratch\nONBUILD FROM x\n", 2, "FROM"},
		{"FROM scratch\nRUN --network=other x\n", 2, "network"},
		{"FROM scratch\nRUN --security=lax x\n", 2, "security"},
		{"FROM ${NONE}\n", 1, "blank"},
		{"FROM scratch\nENV A=${X:?needed}\n", 2, "needed"},
	} {
		f, err := Parse([]byte(c.text), options())
		if err == nil {
			for _, s := range f.Stages {
				if _, err = f.Evaluate(s, StateOf(image.File{})); err != nil {
					break
				}
			}
		}
		var e *Error
		if !errors.As(err, &e) || e.Lines.First != c.line || !strings.Contains(e.Error(), c.want) {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if c.line > 0 && !strings.Contains(e.Excerpt(), ">>>") {
			t.Errorf("%q: no excerpt: %q", c.text, e.Excerpt())
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := Parse([]byte("FROM scratch\nFORM a\nCOPY x\nRUN ok\nENV\n"), options())
	var es Errors
	if !errors.As(err, &es) || len(es) != 3 || es[2].Lines.First != 5 {
		t.Errorf("%v", err)
	}
}

func TestLint(t *testing.T) {
	var got []string
	o := options()
	o.Warn = func(w Warning) { got = append(got, w.Rule) }
	text := `FROM scratch AS Upper
maintainer me
WORKDIR rel
ENV API_TOKEN=x
ENV a b
RUN echo ok
COPY $NOTHING /
CMD a
CMD b
FROM --platform=linux/amd64 scratch
EXPOSE 1:80/TCP
`
	f := parse(t, text, o)
	for _, s := range f.Stages {
		if _, err := f.Evaluate(s, StateOf(image.File{})); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"StageNameCasing", "MaintainerDeprecated", "ConsistentInstructionCasing", "WorkdirRelativePath", "SecretsUsedInArgOrEnv",
		"LegacyKeyValueFormat", "UndefinedVar", "JSONArgsRecommended", "MultipleInstructionsDisallowed", "FromPlatformFlagConstDisallowed",
		"ExposeProtoCasing", "ExposeInvalidFormat",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s was not found; %q were", want, got)
		}
	}
	got = nil
	parse(t, "# check=skip=all\n"+text, o)
	if len(got) != 0 {
		t.Errorf("skipped rules ran: %q", got)
	}
	f = parse(t, "# check=error=true\n"+text, o)
	if f.Lint() == nil {
		t.Error("error=true is no error")
	}
}

func TestEscapeDirective(t *testing.T) {
	p, err := evaluate(t, "# escape=`\nFROM scratch\nENV A=1 `\n    B=c:\\dir\n", options())
	if err != nil || !slices.Contains(p.State.Image.Config.Env, `B=c:\dir`) {
		t.Errorf("%v %q", err, p.State.Image.Config.Env)
	}
}

func TestNeedsOnlyWhatTheTargetTakes(t *testing.T) {
	o := options()
	o.Target = "want"
	f := parse(t, `FROM scratch AS a
FROM img AS b
FROM a AS c
FROM scratch AS want
COPY --from=c x y
RUN --mount=from=other:1,target=/m x
FROM b
`, o)
	s, err := f.Target()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range f.Needs(s) {
		names = append(names, n.Name)
	}
	if !slices.Equal(names, []string{"a", "c", "want"}) || !slices.Equal(f.Images(s), []ImageUse{{Ref: "other:1", What: "RUN", Line: 6}}) {
		t.Errorf("%q %v", names, f.Images(s))
	}
	o.Target = "wnat"
	if _, err := parse(t, "FROM scratch AS want\n", o).Target(); err == nil || !strings.Contains(err.Error(), "did you mean want") {
		t.Error(err)
	}
}

// FuzzParse: whatever a Dockerfile is, it is read or refused with a place that
// it has.
func FuzzParse(f *testing.F) {
	f.Add("# escape=`\nARG A=b\nFROM $A AS x\nCOPY --from=0 . /\nONBUILD RUN x\nFROM x\n")
	ar, err := txtar.ParseFile("../testdata/errors.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, x := range ar.Files {
		if !strings.HasPrefix(x.Name, "! ") {
			f.Add(string(x.Data))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		refused := func(err error) {
			var e *Error
			if !errors.As(err, &e) || e.Lines.First < 0 || e.Lines.First > 1+strings.Count(text, "\n") || e.Lines.Last < e.Lines.First {
				t.Fatalf("%T %+v", err, e)
			}
			e.Excerpt()
		}
		file, err := Parse([]byte(text), options())
		if err != nil {
			refused(err)
			return
		}
		plans := map[*Stage]State{}
		for _, s := range file.Stages {
			p, err := file.Evaluate(s, plans[s.Base.Stage])
			if err != nil {
				refused(err)
				return
			}
			plans[s] = p.State
		}
	})
}
