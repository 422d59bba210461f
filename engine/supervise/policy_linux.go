package supervise

import (
	"strconv"
	"strings"
	"time"

	"devstack/compose"
)

// Backoff between restarts: doubling from the first to the longest delay;
// a run that lasted stableRun starts over, as Docker has it.
const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = time.Minute
	stableRun    = 10 * time.Second
)

// restartPolicy says whether and when an exited container starts again.
type restartPolicy struct {
	always      bool
	onFailure   bool
	maxAttempts int // 0: no bound
	delay       time.Duration
	window      time.Duration
}

// policyOf reads `restart`, which wins, and deploy.restart_policy.
func policyOf(s *compose.Service) restartPolicy {
	name, count, _ := strings.Cut(s.Restart, ":")
	switch name {
	case "always", "unless-stopped":
		return restartPolicy{always: true}
	case "on-failure":
		n, _ := strconv.Atoi(count) // the loader has checked it
		return restartPolicy{onFailure: true, maxAttempts: n}
	case "no":
		return restartPolicy{}
	}
	if s.Deploy == nil || s.Deploy.RestartPolicy == nil {
		return restartPolicy{}
	}
	d := s.Deploy.RestartPolicy
	p := restartPolicy{always: d.Condition == "" || d.Condition == "any", onFailure: d.Condition == "on-failure"}
	if d.MaxAttempts != nil {
		p.maxAttempts = int(*d.MaxAttempts)
	}
	if d.Delay != nil {
		p.delay = time.Duration(*d.Delay)
	}
	if d.Window != nil {
		p.window = time.Duration(*d.Window)
	}
	return p
}

// next decides after an exit: restart or not, and after which delay. ran is
// how long the process lived, attempts how many restarts came before it since
// the last stable run.
func (p restartPolicy) next(code int, ran time.Duration, attempts int) (delay time.Duration, again bool) {
	if !p.always && !(p.onFailure && code != 0) {
		return 0, false
	}
	if p.maxAttempts > 0 && attempts >= p.maxAttempts {
		return 0, false
	}
	if p.delay > 0 {
		return p.delay, true
	}
	return min(firstBackoff<<min(attempts, 20), maxBackoff), true
}

// stable reports whether a run was long enough to forget earlier failures.
func (p restartPolicy) stable(ran time.Duration) bool {
	return ran >= max(stableRun, p.window)
}

// stopTimeout is how long a container has between its stop signal and SIGKILL.
func stopTimeout(s *compose.Service, asked *compose.Duration) time.Duration {
	switch {
	case asked != nil:
		return time.Duration(*asked)
	case s.StopGracePeriod != nil:
		return time.Duration(*s.StopGracePeriod)
	}
	return 10 * time.Second
}
