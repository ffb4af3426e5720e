import type { Release } from '../../api/types';
import { useTexts } from '../../app/context';
import { Badge } from '../../ui/parts';

const TONES = {
  preparing: 'busy',
  running: 'busy',
  paused: 'quiet',
  promoting: 'busy',
  settling: 'busy',
  succeeded: 'good',
  rolled_back: 'bad',
  failed: 'bad',
  cancelled: 'quiet',
} as const;

export function ReleaseState(props: { release: Release }) {
  const t = useTexts();
  return <Badge tone={TONES[props.release.state]}>{t(`release.${props.release.state}`)}</Badge>;
}
