/** Small values that survive with the data directory: the engine's manifest keeps them. */
export interface DurableValues {
  getValue(name: string): Uint8Array | undefined;
  /**
   * Durable once resolved; values set one after another become durable in that order. At most 1 MiB. Worth trying again when
   * it rejects: the disk may have been full. After any other failure of the disk the process ends.
   */
  setValue(name: string, value: Uint8Array): Promise<void>;
}
