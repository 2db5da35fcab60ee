"""A stand-in for the endpoint slice controller: Services and Pods -> EndpointSlices."""
