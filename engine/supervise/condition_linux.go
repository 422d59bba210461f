package supervise

import (
	"fmt"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/state"
)

// brokenError is a condition that can no longer come true by itself.
type brokenError struct {
	container string
	unhealthy bool
	text      string
}

func (e *brokenError) Error() string { return e.text }

// holds tells whether a dependency's condition is met by its containers. An
// error says that it cannot be met any more without somebody's doing.
//
//	service_started                 every container has been started
//	service_healthy                 every container runs and is healthy
//	service_completed_successfully  every container has exited with 0
//
// A service scaled to zero meets every condition.
func holds(condition string, containers []state.Container) (bool, error) {
	for i := range containers {
		ok, err := holdsFor(condition, &containers[i])
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

func holdsFor(condition string, c *state.Container) (bool, error) {
	if c.State == api.StateExited && c.Error != "" {
		return false, &brokenError{container: c.Name, text: fmt.Sprintf("container %s: %s", c.Name, c.Error)}
	}
	switch condition {
	case compose.ConditionHealthy:
		return healthyHolds(c)
	case compose.ConditionCompleted:
		if c.State != api.StateExited || c.Started.IsZero() {
			return false, nil
		}
		if c.ExitCode != 0 {
			return false, &brokenError{container: c.Name, text: fmt.Sprintf("container %s did not complete successfully: exit %d", c.Name, c.ExitCode)}
		}
		return true, nil
	}
	return !c.Started.IsZero(), nil
}

func healthyHolds(c *state.Container) (bool, error) {
	switch {
	case c.State == api.StateExited && !c.Started.IsZero():
		return false, &brokenError{container: c.Name, text: fmt.Sprintf("container %s exited (%d)", c.Name, c.ExitCode)}
	case c.State != api.StateRunning:
		return false, nil
	case c.Health == api.HealthUnhealthy:
		return false, &brokenError{container: c.Name, unhealthy: true, text: fmt.Sprintf("container %s is unhealthy", c.Name)}
	case c.Health == "":
		return false, &brokenError{container: c.Name, text: fmt.Sprintf("container %s has no healthcheck configured", c.Name)}
	}
	return c.Health == api.HealthHealthy, nil
}
