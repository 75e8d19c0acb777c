package checkpoint

const AdapterConfigFile = "adapter_config.json"
