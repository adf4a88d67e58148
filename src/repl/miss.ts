/** Thrown by a read that needs the disk: await `load()`, then run the handler again. */
export class Miss {
  readonly load: () => Promise<void>;
  constructor(load: () => Promise<void>) {
    this.load = load;
  }
}
