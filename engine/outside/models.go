package outside

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"devstack/compose"
	"devstack/engine/api"
)

// Models tells the services where their models are: in the variables that
// Compose names, NAME_URL and NAME_MODEL, or those of the file. No model is run
// here; MODEL_RUNNER_HOST, of the project's environment, names somebody who runs
// them. An error is one *api.Error for each model of a service that is nowhere.
func Models(p *compose.Project, services []string) error {
	runner := strings.TrimSuffix(p.Environment["MODEL_RUNNER_HOST"], "/")
	var errs []error
	for _, name := range services {
		s := p.Services[name]
		if len(s.Models) == 0 {
			continue
		}
		s.Environment = environment(s)
		for _, key := range slices.Sorted(maps.Keys(s.Models)) {
			if runner == "" {
				errs = append(errs, &api.Error{
					Service: name, Message: fmt.Sprintf("it uses model %s, and there is no model runner", key),
					Hint: "set MODEL_RUNNER_HOST to the address of one that containers can reach, as http://host.docker.internal:12434",
					Path: compose.Path("services", name, "models", key),
				})
				continue
			}
			url, model := runner+"/engines/v1/", p.Models[key].Model
			urlVar, modelVar := modelVariableNames(key, s.Models[key])
			s.Environment[urlVar], s.Environment[modelVar] = &url, &model
		}
		p.Services[name] = s
	}
	return errors.Join(errs...)
}

func modelVariableNames(key string, m *compose.ServiceModel) (url, model string) {
	base := strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(key))
	url, model = base+"_URL", base+"_MODEL"
	if m != nil && m.EndpointVar != "" {
		url = m.EndpointVar
	}
	if m != nil && m.ModelVar != "" {
		model = m.ModelVar
	}
	return url, model
}

// environment is a copy of a service's, to be added to.
func environment(s compose.Service) compose.Mapping {
	if s.Environment == nil {
		return compose.Mapping{}
	}
	return maps.Clone(s.Environment)
}
