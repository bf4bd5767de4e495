/** GPUs for the tests of the inventory, named as the driver names them. */

export const H100 = { model: "NVIDIA H100 80GB HBM3", memoryMiB: 81559 };
/** A GPU of each model of the table, as the driver names it. */
export const CARDS: Record<string, { model: string; memoryMiB: number }> = {
  "A100 40GB": { model: "NVIDIA A100-SXM4-40GB", memoryMiB: 40960 },
  "A100 80GB": { model: "NVIDIA A100 80GB PCIe", memoryMiB: 81920 },
  A30: { model: "NVIDIA A30", memoryMiB: 24576 },
  "H100 80GB": H100,
  "H100 94GB": { model: "NVIDIA H100 NVL", memoryMiB: 95830 },
  "H100 96GB": { model: "NVIDIA GH200 480GB", memoryMiB: 97871 },
  "H20 96GB": { model: "NVIDIA H20", memoryMiB: 97871 },
  "H20 141GB": { model: "NVIDIA H20-3e", memoryMiB: 143771 },
  "H200 141GB": { model: "NVIDIA H200", memoryMiB: 143771 },
  B200: { model: "NVIDIA B200", memoryMiB: 183359 },
  GB200: { model: "NVIDIA GB200", memoryMiB: 189471 },
  "GH200 144GB": { model: "NVIDIA GH200 144G HBM3e", memoryMiB: 146831 },
  B300: { model: "NVIDIA B300 SXM6 AC", memoryMiB: 275040 },
  GB300: { model: "NVIDIA GB300", memoryMiB: 284208 },
  "RTX PRO 6000 Blackwell": {
    model: "NVIDIA RTX PRO 6000 Blackwell Server Edition",
    memoryMiB: 97887,
  },
};
