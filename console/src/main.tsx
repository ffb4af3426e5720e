import { render } from 'preact';
import { App } from './app/app';
import { applyLanguage, applyTheme, keptLanguage, keptTheme } from './app/preferences';
import './ui/styles.css';

applyTheme(keptTheme());
applyLanguage(keptLanguage());
const place = document.getElementById('app');
if (place !== null) render(<App />, place);
