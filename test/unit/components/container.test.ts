/**
 * The containers of a stack, as Docker's provider is asked for them. Proves: they are these to the last property. Another
 * text here is a container that the next update of every stack replaces, so it is changed on purpose alone.
 */
import { expect, it } from "vitest";
import { localStack, of, runCluster } from "./cluster-recorder";

const gpu = { kind: "mig", profile: "1g.10gb" };
const DECLARED = [{ model: "NVIDIA H100 80GB HBM3", memory: "80GiB", mig: { "1g.10gb": 3 } }];

it("are these", async () => {
  const stack = localStack([
    { name: "alice", node: "node-0", index: 0, gpu, sudo: false },
    { name: "bob", node: "node-0", index: 1, state: "stopped" },
  ]) as { nodes: object[] };
  const [head] = stack.nodes;
  const seen = await runCluster({ ...stack, nodes: [{ ...head, gpus: DECLARED, ray: { gpu } }] }, false);
  const lines = of(seen, "docker:index/container:Container").map(({ name, inputs }) => {
    const shown = { ...inputs, ...("uploads" in inputs ? { uploads: "secret" } : {}) };
    const properties = Object.entries(shown).map(([key, value]) => `  ${key}: ${JSON.stringify(value)}`);
    return [name, ...properties.sort()];
  });
  expect(lines.sort().flat().join("\n")).toMatchInlineSnapshot(`
    "berth-node-0
      capabilities: {"adds":["CAP_AUDIT_WRITE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_DAC_READ_SEARCH","CAP_FOWNER","CAP_FSETID","CAP_IPC_LOCK","CAP_KILL","CAP_MKNOD","CAP_NET_ADMIN","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYS_ADMIN","CAP_SYS_CHROOT","CAP_SYS_NICE","CAP_SYS_PTRACE"],"drops":["ALL"]}
      cgroupnsMode: "private"
      cpus: "2.0"
      destroyGraceSeconds: 30
      devices: [{"containerPath":"/dev/fuse","hostPath":"/dev/fuse","permissions":"rwm"}]
      hostname: "node-0"
      image: "sha256:abc"
      labels: [{"label":"berth.component","value":"node"},{"label":"berth.node","value":"node-0"},{"label":"berth.owner","value":"system"},{"label":"berth.stack","value":"dev"}]
      logDriver: "json-file"
      logOpts: {"max-file":"2","max-size":"5m"}
      memory: 8192
      memorySwap: 8192
      mounts: [{"source":"berth-dev-node-0-docker","target":"/var/lib/docker","type":"volume"},{"source":"berth-dev-node-0-storage","target":"/mnt/storage","type":"volume"}]
      mustRun: true
      name: "berth-dev-node-0"
      networksAdvanced: [{"ipv4Address":"10.88.0.10","name":"berth-dev"}]
      restart: "unless-stopped"
      securityOpts: ["seccomp=unconfined","apparmor=unconfined"]
      stopSignal: "SIGRTMIN+3"
      stopTimeout: 60
      tmpfs: {"/run":"exec,nosuid,nodev,mode=755","/run/lock":"nosuid,nodev","/tmp":"exec,nosuid,nodev,mode=1777"}
      uploads: "secret"
    berth-node-0-ray
      capabilities: {"drops":["ALL"]}
      command: ["head"]
      cpus: "2.0"
      destroyGraceSeconds: 20
      deviceRequests: [{"deviceIds":["nvidia.com/gpu=MIG-2257ab5c-32bf-584c-b790-3ca353923db1"],"driver":"cdi"}]
      envs: ["BERTH_RAY_NODE_IP=10.88.0.10","BERTH_RAY_HEAD=10.88.0.10:6379","BERTH_RAY_PORTS={\\"gcs\\":6379,\\"dashboard\\":8265,\\"client\\":30001,\\"nodeManager\\":30002,\\"objectManager\\":30003,\\"runtimeEnvAgent\\":30004,\\"dashboardAgentHttp\\":30005,\\"dashboardAgentGrpc\\":30006,\\"metrics\\":30007,\\"workers\\":{\\"start\\":31000,\\"end\\":31999}}","BERTH_RAY_CPUS=2","BERTH_RAY_MEMORY=2405433344","BERTH_RAY_OBJECT_STORE=1029701632","BERTH_RAY_GPUS=1","BERTH_RAY_RESOURCES={\\"node_node-0\\":1,\\"gpu:H100\\":1,\\"mig:1g.10gb\\":1}","BERTH_RAY_DASHBOARD_HOST=10.88.0.10","NVIDIA_VISIBLE_DEVICES=void","CUDA_VISIBLE_DEVICES=MIG-2257ab5c-32bf-584c-b790-3ca353923db1","RAY_AUTH_MODE=token","RAY_AUTH_TOKEN_PATH=/run/berth/ray/token"]
      healthcheck: {"interval":"20s","retries":3,"startPeriod":"1m0s","tests":["CMD","berth-ray-health"],"timeout":"15s"}
      labels: [{"label":"berth.component","value":"ray"},{"label":"berth.gpu-memory","value":""},{"label":"berth.gpus","value":"MIG-2257ab5c-32bf-584c-b790-3ca353923db1"},{"label":"berth.grant","value":"ray"},{"label":"berth.node","value":"node-0"},{"label":"berth.owner","value":"system"},{"label":"berth.stack","value":"dev"}]
      logDriver: "json-file"
      logOpts: {"max-file":"2","max-size":"10m"}
      memory: 3276
      memorySwap: 3276
      mounts: [{"readOnly":true,"source":"/var/lib/berth/ray","target":"/run/berth/ray","type":"bind"}]
      mustRun: true
      name: "berth-dev-ray"
      networkMode: "host"
      restart: "unless-stopped"
      securityOpts: ["no-new-privileges:true"]
      shmSize: 1046
      stopTimeout: 20
    berth-registry
      capabilities: {"drops":["ALL"]}
      healthcheck: {"interval":"10s","retries":3,"startPeriod":"10s","tests":["CMD","curl","-fsS","-o","/dev/null","http://127.0.0.1:5000/v2/"],"timeout":"5s"}
      hostname: "registry"
      image: "sha256:abc"
      labels: [{"label":"berth.component","value":"registry"},{"label":"berth.owner","value":"system"},{"label":"berth.stack","value":"dev"}]
      logDriver: "json-file"
      logOpts: {"max-file":"2","max-size":"5m"}
      memory: 512
      memorySwap: 512
      mounts: [{"source":"berth-dev-registry","target":"/var/lib/registry","type":"volume"}]
      mustRun: true
      name: "berth-dev-registry"
      networksAdvanced: [{"ipv4Address":"10.88.0.2","name":"berth-dev"}]
      ports: [{"external":5001,"internal":5001,"ip":"127.0.0.1","protocol":"tcp"}]
      restart: "unless-stopped"
      securityOpts: ["no-new-privileges:true"]
      uploads: "secret"
    berth-workspace-alice
      capabilities: {"adds":["CAP_AUDIT_WRITE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_NET_BIND_SERVICE","CAP_SETGID","CAP_SETUID","CAP_SYS_CHROOT"],"drops":["ALL"]}
      cgroupParent: "/berth.slice/berth-default.slice/berth-default-alice.slice"
      cgroupnsMode: "private"
      cpus: "2.0"
      destroyGraceSeconds: 20
      deviceRequests: [{"deviceIds":["nvidia.com/gpu=MIG-9428a554-4121-570d-9ebf-d17678590cc7"],"driver":"cdi"}]
      envs: ["NVIDIA_VISIBLE_DEVICES=void"]
      healthcheck: {"interval":"10s","retries":3,"startPeriod":"1m0s","tests":["CMD","berth-workspace-health"],"timeout":"20s"}
      hostname: "alice"
      ipcMode: "private"
      labels: [{"label":"berth.component","value":"workspace"},{"label":"berth.gpu-memory","value":""},{"label":"berth.gpus","value":"MIG-9428a554-4121-570d-9ebf-d17678590cc7"},{"label":"berth.grant","value":"workspace/alice"},{"label":"berth.node","value":"node-0"},{"label":"berth.owner","value":"alice"},{"label":"berth.stack","value":"dev"}]
      logDriver: "json-file"
      logOpts: {"max-file":"2","max-size":"10m"}
      memory: 3072
      memoryReservation: 512
      memorySwap: 3072
      mounts: [{"readOnly":false,"source":"/mnt/storage/homes/alice","target":"/home/alice","type":"bind"},{"readOnly":false,"source":"/mnt/storage/workspaces/alice","target":"/workspace","type":"bind"},{"readOnly":true,"source":"/mnt/storage/shared","target":"/shared","type":"bind"},{"readOnly":false,"source":"/mnt/storage/shared/tensorboard/alice","target":"/shared/tensorboard/alice","type":"bind"},{"readOnly":false,"source":"/mnt/storage/docker-volumes/alice-state","target":"/var/lib/state","type":"bind"},{"readOnly":true,"source":"/var/lib/berth/workspaces/alice","target":"/run/berth","type":"bind"},{"readOnly":true,"source":"/usr/local/lib/berth/agent","target":"/usr/local/lib/berth/agent","type":"bind"},{"readOnly":true,"source":"/run/berth/users/alice","target":"/run/berthd","type":"bind"}]
      mustRun: true
      name: "berth-dev-workspace-alice"
      networksAdvanced: [{"name":"berth-workspaces"}]
      ports: [{"external":10022,"internal":22,"ip":"10.88.0.10","protocol":"tcp"}]
      privileged: false
      restart: "unless-stopped"
      securityOpts: ["no-new-privileges:true"]
      shmSize: 256
      stopTimeout: 20
    berth-workspace-bob
      capabilities: {"adds":["CAP_AUDIT_WRITE","CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_NET_BIND_SERVICE","CAP_SETGID","CAP_SETUID","CAP_SYS_CHROOT"],"drops":["ALL"]}
      cgroupParent: "/berth.slice/berth-default.slice/berth-default-bob.slice"
      cgroupnsMode: "private"
      cpus: "2.0"
      destroyGraceSeconds: 20
      envs: ["NVIDIA_VISIBLE_DEVICES=void"]
      healthcheck: {"interval":"10s","retries":3,"startPeriod":"1m0s","tests":["CMD","berth-workspace-health"],"timeout":"20s"}
      hostname: "bob"
      ipcMode: "private"
      labels: [{"label":"berth.component","value":"workspace"},{"label":"berth.node","value":"node-0"},{"label":"berth.owner","value":"bob"},{"label":"berth.stack","value":"dev"}]
      logDriver: "json-file"
      logOpts: {"max-file":"2","max-size":"10m"}
      memory: 3072
      memoryReservation: 512
      memorySwap: 3072
      mounts: [{"readOnly":false,"source":"/mnt/storage/homes/bob","target":"/home/bob","type":"bind"},{"readOnly":false,"source":"/mnt/storage/workspaces/bob","target":"/workspace","type":"bind"},{"readOnly":true,"source":"/mnt/storage/shared","target":"/shared","type":"bind"},{"readOnly":false,"source":"/mnt/storage/shared/tensorboard/bob","target":"/shared/tensorboard/bob","type":"bind"},{"readOnly":false,"source":"/mnt/storage/docker-volumes/bob-state","target":"/var/lib/state","type":"bind"},{"readOnly":true,"source":"/var/lib/berth/workspaces/bob","target":"/run/berth","type":"bind"},{"readOnly":true,"source":"/usr/local/lib/berth/agent","target":"/usr/local/lib/berth/agent","type":"bind"},{"readOnly":true,"source":"/run/berth/users/bob","target":"/run/berthd","type":"bind"}]
      mustRun: false
      name: "berth-dev-workspace-bob"
      networksAdvanced: [{"name":"berth-workspaces"}]
      ports: [{"external":10122,"internal":22,"ip":"10.88.0.10","protocol":"tcp"}]
      privileged: false
      restart: "no"
      shmSize: 256
      stopTimeout: 20"
  `);
});
