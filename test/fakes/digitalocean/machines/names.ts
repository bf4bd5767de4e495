/** What everything that is made is called and marked with, so that it is found again after a killed run. */

/** One set of machines on this computer. */
export interface Naming {
  /** Tells sets apart that run at the same time; lower-case letters and digits. */
  readonly name: string;
}

const base = ({ name }: Naming) => (name === "1" ? "berth-do" : `berth-do-${name}`);

export const label = ({ name }: Naming) => `berth.test-digitalocean=${name}`;
export const containerName = (naming: Naming, dropletId: number) => `${base(naming)}-${dropletId}`;
export const dataName = (naming: Naming, dropletId: number) => `${base(naming)}-${dropletId}-docker`;
export const publicName = (naming: Naming) => `${base(naming)}-public`;
export const vpcName = (naming: Naming, vpcId: string) => `${base(naming)}-vpc-${vpcId}`;
/** Start of the names of the folders with the volumes' files. */
export const folderPrefix = (naming: Naming) => `${base(naming)}-volumes-`;
/** The nftables table. */
export const tableName = ({ name }: Naming) => (name === "1" ? "berth_test_do" : `berth_test_do_${name}`);
